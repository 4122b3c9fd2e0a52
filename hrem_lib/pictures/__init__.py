"""Own pictures: caption files, images, networks that find regions, and `extract`, which makes a data folder of them."""
