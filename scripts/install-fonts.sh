#!/bin/sh
# Installs the fonts and the word list of the drawn world (Debian, as root). Needed to train nano or to draw new items,
# never to run it. The same line as INSTALL_LINE in drawn_world/fonts.py (a test compares them).
set -eu
apt-get update
apt-get install -y --no-install-recommends wamerican fonts-dejavu-core fonts-liberation fonts-freefont-ttf fonts-open-sans fonts-roboto-unhinted fonts-roboto-slab fonts-lato fonts-crosextra-carlito fonts-crosextra-caladea fonts-quicksand fonts-linuxlibertine fonts-comfortaa fonts-hack fonts-inconsolata fonts-inter fonts-dosis fonts-oxygen fonts-tuffy fonts-cabin fonts-sil-gentium-basic fonts-firacode fonts-cantarell fonts-ebgaramond fonts-karla fonts-b612 fonts-noto-color-emoji fonts-kacst fonts-hosny-amiri culmus fonts-vlgothic fonts-ipafont-mincho fonts-ipafont-gothic fonts-baekmuk fonts-wqy-microhei fonts-arphic-gbsn00lp fonts-wqy-zenhei
