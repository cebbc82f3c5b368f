"""What happens if: scenarios played by the live engine in virtual time, and what they show."""
