"""The options of our own readers, each with what it means, and the usual names of columns."""

USUAL = {
    "image": "jpg jpeg png webp image img image_bytes bytes picture".split(),
    "path": "path file_name filename image_path filepath image_file file image img".split(),
    "key": "key __key__ sample_id image_id id".split(),
    "caption": "caption text captions description sentence".split(),
    "label": "label labels class category categories cls".split(),
    "uid": ["uid"],
    "status": ["status"],
    "message": ["error_message"],
    "subset": ["subset", "split"],
    "objects": ["objects"],
}
COLUMN_OPTIONS = {
    **{role: f"the column that holds it, by default one of {', '.join(names)}" for role, names in USUAL.items()},
    "root": "the folder or URL that paths are relative to, by default that of the table",
    "label_separator": "what stands between several labels in one text, for example |",
}
FOLDER_OPTIONS = {"subsets": "names of the first-level folders that are subsets ([] when all of them are classes)"}
TAR_OPTIONS = {
    "image": "the field that holds the picture, for example jpg or left.png",
    "shard_in_key": "true puts the shard's path before each key, for shards that number their samples alike",
}
NAMES = frozenset({*COLUMN_OPTIONS, *FOLDER_OPTIONS, *TAR_OPTIONS})
"""Of all of them: a card of before writes them below ``options``."""
