"""What a suite would cost, told before it runs: which stages are due, how long such stages took here, and disk."""
