"""Writers of subsets: each puts the kept samples of one family of formats into a fresh folder."""
