"""Is what drafts here what was trained? One function a check; `radllama doctor` runs them all."""
