"""The migrations. They name no class of the package: a class changes, a migration that ran never does."""
