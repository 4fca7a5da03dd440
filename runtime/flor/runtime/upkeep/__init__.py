"""Looking after a store: `status`, `compact`, `gc`, `fsck`."""
