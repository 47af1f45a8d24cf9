"""Public test kit: contract checks, fakes and suites for people who write connectors. Never imported by the product."""
