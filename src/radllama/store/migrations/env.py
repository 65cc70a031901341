"""What Alembic runs around the migrations: on the connection, and in the transaction, that `migrate` opened."""

from alembic import context

from radllama.store.migrate import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
