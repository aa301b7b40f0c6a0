"""The package as a signed apt repository: a folder that any static web server can serve.

A room of its own beside the package: nothing here is installed. What apt's and GnuPG's programs
do, they do; here is what they are told. Python's standard library is enough.
"""
