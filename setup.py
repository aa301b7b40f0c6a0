"""The Python library; the Debian package around it is described in stdeb.cfg and debian/."""

from setuptools import find_packages, setup

setup(
    name="hx_gateway_db",
    version="0.2.0",
    description="wire an HX LiteLLM gateway to PostgreSQL and Redis",
    long_description="""\
Gives a DB-less LiteLLM gateway of the HX infrastructure its database: asks
where PostgreSQL and Redis are (or makes a database on this machine), checks
the logins, writes one sealed environment file, systemd drop-ins for the
gateway's two services and two flags in its config.yaml, restarts what has to
restart, and proves that virtual keys and spend logs work.

Whatever fails on the way is undone, and the gateway goes on serving with what
it had before. Removing the package takes the wiring away again.
""",
    author="HX Infrastructure",
    author_email="hx-gateway-db@example.invalid",
    license="MIT",
    packages=find_packages(include=["hx_gateway_db", "hx_gateway_db.*"]),
    python_requires=">=3.11",
)
