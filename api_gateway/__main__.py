"""`python -m api_gateway`: the gateway as a process."""

if __name__ == "__main__":
    # Imported here: the processes that parse structures import this module again, and must not
    # load the whole gateway with it.
    from api_gateway.server import main

    main()
