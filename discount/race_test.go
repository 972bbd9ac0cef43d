//go:build race

package discount

// wallets is for how many the best combination is looked for in all subsets; the
// detector makes each ten times as slow.
const wallets = 2_000
