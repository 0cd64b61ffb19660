"""What pages of the site take from the code: parameters, results, settings, error codes, commands."""
