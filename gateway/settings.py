"""Every setting, default and limit, in one frozen table."""
