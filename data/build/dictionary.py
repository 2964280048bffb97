"""Make data/stored-1.zdict, the dictionary that what is kept of events is made small with, from events in a store.

    RISKENGINE_HOME=/some/home python data/build/dictionary.py

The store held the 100,000 made-up users of `make bench`. What a server has stored was made with the dictionary that it
travelled with: never overwrite one that was released, make the next number.
"""

from itertools import islice
from pathlib import Path

from backports import zstd

from riskengine.app import open_seal, open_store
from riskengine.compression import DICTIONARY, expanded
from riskengine.settings import load

EVENTS, EVERY, BYTES = 2_000, 20, 16_384

settings = load()
store = open_store(settings)
seal = open_seal(settings, store)
samples = []
for row in islice(store.events(), 0, EVENTS * EVERY, EVERY):
    samples.append(expanded(seal.open(row.assessment, row.realm, "assessment", row.id)))
    samples.append(expanded(seal.open(row.raw, row.realm, "raw", row.id)))
store.close()
(Path(__file__).parents[1] / DICTIONARY).write_bytes(zstd.train_dict(samples, BYTES).dict_content)
