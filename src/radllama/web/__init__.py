"""What every web app here is made of: errors, headers, sessions, pages."""
