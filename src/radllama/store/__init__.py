"""The database that the web apps share: base, connections and migrations; the tables stand with their features."""
