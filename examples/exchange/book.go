package main

import "maps"

// A book is the offers for a product, after a number of updates.
type book struct {
	Product  string
	Sequence uint64
	Sizes    map[string]int // by price
}

// An update sets the size at one price. Each product counts its own updates, from 1.
type update struct {
	Product  string
	Sequence uint64
	Price    string
	Size     int // 0: nothing is left
}

func (b *book) apply(u update) {
	b.Sequence = u.Sequence
	if u.Size == 0 {
		delete(b.Sizes, u.Price)
		return
	}
	b.Sizes[u.Price] = u.Size
}

func (b *book) clone() *book { return &book{b.Product, b.Sequence, maps.Clone(b.Sizes)} }

func (b *book) equal(other *book) bool {
	return other != nil && b.Sequence == other.Sequence && maps.Equal(b.Sizes, other.Sizes)
}
