"""A page that shows what the machine it runs on is doing, live, and hands out the history.

    sampler.py   asks the machine (psutil)
    store.py     keeps the samples (SQLite)
    app.py       streams, exports and hands them out (Quart, rxstream, quart_adapter)
    static/      draws them (no build step, nothing from elsewhere)

`python -m examples.monitor` serves it.
"""
