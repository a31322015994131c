"""The sandbox: buyers that behave as configured, and traffic whose outcome is known. No lead leaves the machine."""
