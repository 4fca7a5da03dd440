"""Effects of library calls as data: TOML files and the model that reads them."""
