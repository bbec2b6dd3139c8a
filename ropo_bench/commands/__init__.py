"""The sub-commands of `ropo-bench`, one module each; heavy imports wait until a command needs them."""
