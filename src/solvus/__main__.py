"""``python -m solvus`` runs the command line."""

from solvus.agent.commandline.app import main

if __name__ == "__main__":
    main()
