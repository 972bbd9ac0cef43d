package main

// scenario is one thing to be measured.
type scenario struct {
	key   string // its place on the page
	about string
	run   func(*bench)
}

func scenarios() []scenario {
	return []scenario{
		{"hot", "claims on one hot template", (*bench).hot},
		{"thousand", "claims over 1,000 templates", (*bench).thousand},
		{"reminders", "claims whose coupons remind of their end", (*bench).reminders},
		{"storms", "claims that are refused: sold out, and doubles", (*bench).storms},
		{"latency", "how long a claim takes at which rate", (*bench).latency},
		{"wallets", "reading wallets, and qualifying 50 coupons for a cart", (*bench).wallets},
		{"orders", "lock and confirm on one hot budget", (*bench).orders},
		{"mixed", "a mixed day", (*bench).mixed},
		{"growth", "claims beside 10 million coupons, 100,000 templates, 1,000 coupons in a wallet", (*bench).growth},
		{"memory", "memory of an idle server, and in a storm of 5,000 connections", (*bench).memory},
		{"soak", "memory over ten minutes of mixed days", (*bench).soak},
	}
}
