"""The assistant: drafting as a service inside the hospital."""
