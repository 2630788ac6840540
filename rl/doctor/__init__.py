"""`penny doctor gpu`: what works on the machine at hand, check by check."""
