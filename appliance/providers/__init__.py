"""What listens and answers: one module or package a provider."""
