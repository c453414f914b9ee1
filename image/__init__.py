"""How the SD image is made: layers say what is in it, steps make it, each once for the same input."""
