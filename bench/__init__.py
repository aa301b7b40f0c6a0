"""How fast the package is, beside what people would use instead: `make bench`."""
