"""The response cache: answers that were paid for once, and steps of an application kept by their arguments."""
