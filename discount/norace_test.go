//go:build !race

package discount

// wallets is for how many the best combination is looked for in all subsets.
const wallets = 6_000
