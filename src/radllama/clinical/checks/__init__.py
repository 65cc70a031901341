"""The rules that hold a draft against its findings, a file a family; `radllama.clinical.check` runs them all."""
