package planted

// bug is something that must never come in unnoticed.
type bug struct {
	name  string
	edits []edit
	pkg   string // of the test that catches it
	test  string // its name, as for go test -run
}

// edit replaces a text that stands in a file exactly once.
type edit struct{ file, was, is string }

// one is a bug of one edit.
func one(name, file, was, is, pkg, test string) bug {
	return bug{name: name, edits: []edit{{file, was, is}}, pkg: pkg, test: test}
}

func bugs() []bug {
	var all []bug
	for _, list := range [][]bug{gateBugs(), claimBugs(), lockBugs(), commitBugs(), otherBugs()} {
		all = append(all, list...)
	}
	return all
}

func gateBugs() []bug {
	return []bug{
		{
			name: "gate: the driver sends again what it got no reply to", pkg: "./gate", test: "TestReplyLost",
			edits: []edit{
				{"gate/redis.go", "MaxRetries: -1,", "MaxRetries: 3,"},
				{"gate/script.go", "func (c *call) NoRetry() bool { return true }", "func (c *call) NoRetry() bool { return false }"},
			},
		},
		one("gate: a release gives back what is not pending", "gate/lua/finish.lua",
			"if pending and step == 'release' then", "if step == 'release' then",
			"./gate", "TestRedis"),
		one("gate: a copy of another epoch is taken for this one's", "gate/lua/copy.lua",
			"if meta[1] and meta[1] == epoch and", "if meta[1] and",
			"./gate", "TestRedis"),
		one("gate: a copy that came from another server is believed", "gate/lua/copy.lua",
			"and meta[2] == server() then", "then",
			"./gate", "TestPromotedReplicaIsCold"),
		one("gate: a reservation that comes twice takes two units", "gate/lua/reserve.lua",
			"if since[i] or taken[claim] then", "if taken[claim] then",
			"./gate", "TestRedis"),
		one("gate: sold out is said while something is pending", "gate/lua/reserve.lua",
			"return pending and 'B' or 'S'", "return 'S'",
			"./gate", "TestRedis"),
		one("gate: the twin forgets who has one when it gives back", "gate/counters.go",
			"	case waiting && outcome.Step == models.GateRelease:\n		c.count(outcome.UserID, -1)\n",
			"	case waiting && outcome.Step == models.GateRelease:\n",
			"./gate", "TestTwins"),
		one("settle: sooner than a transaction may take", "jobs/settle.go",
			"started.Add(-j.After)", "started",
			"./jobs", "TestOnlyWhatIsOverdueIsSettled"),
		one("settle: the tombstone is written without the template's lock", "store/gates.go",
			`locking(t).Select("id").Where("id = ?", template)`, `t.orm.Select("id").Where("id = ?", template)`,
			"./store", "TestAClaimAndItsSettlementRace_Race"),
		one("rebuild: under the epoch that there was", "store/gates.go",
			"TemplateID: id, Epoch: row.Epoch + 1,", "TemplateID: id, Epoch: row.Epoch,",
			"./store", "TestAnEpochBelongsToOneRebuild"),
		one("reconcile: a difference seen once is drift", "jobs/reconcile.go",
			"!known || before != state {", "false && (!known || before != state) {",
			"./jobs", "TestOnlyALastingDifferenceIsDrift"),
	}
}

func claimBugs() []bug {
	return []bug{
		one("claim: an unknown commit is taken for a failed one, and its unit given back", "claims/batch.go",
			"if !errors.Is(err, models.ErrUnknown) {", "if true || errors.Is(err, models.ErrUnknown) {",
			"./claims", "TestAnUnknownOutcomeIsSettledOnce"),
		one("claim: one more than the stock", "store/claims.go",
			"row.claimed+row.granted >= *t.Stock", "row.claimed+row.granted > *t.Stock",
			"./store", "TestTwoServersNeverOversell_Race"),
		one("claim: a number is left out", "store/claims.go",
			"IssueNo: row.claimed + row.granted,", "IssueNo: row.claimed + row.granted + 1,",
			"./store", "TestTwoServersNeverOversell_Race"),
		one("claim: a template that was edited is judged by what it was", "store/claims.go",
			"case row.version != t.Version,", "case row.version < t.Version,",
			"./claims", "TestNoClaimIsGrantedAfterAPause"),
		one("claim: the gate's word is taken for the database's", "store/claims.go",
			"		trusting = false\n", "",
			"./store", "TestAGateThatWasWrongAboutAUserCostsNobodyACoupon"),
		one("claim: what its tombstone says is not asked", "store/claims.go",
			"case b.tombstones[c.ID]:", "case false && b.tombstones[c.ID]:",
			"./store", "TestAClaimSettledAsLostNeverComes"),
	}
}

func lockBugs() []bug {
	return []bug{
		one("lock: a Try after its Cancel is answered with the lock", "store/locks.go",
			`		return models.LockVerdict{Refused: models.Refuse(models.CodeLockCancelled, "this lock was cancelled")}
	case string(row.hash)`, "		return models.LockVerdict{Lock: row.lock()}\n	case string(row.hash)",
			"./store", "TestEverySequenceOfStepsEndsAsTheProtocolSays"),
		one("lock: a budget has one more left than it has", "store/ledger.go",
			"left, limited = *p.total-p.used-p.held, true", "left, limited = *p.total-p.used-p.held+1, true",
			"./store", "TestTenUsesLeftAndFiveHundredLocksAtOnce_Race"),
		one("lock: what it holds is released twice", "store/lockends.go",
			"	if over {\n		b.end(end, row, models.LockExpired)\n	}\n", "	b.end(end, row, models.LockExpired)\n",
			"./store", "TestEverySequenceOfStepsEndsAsTheProtocolSays"),
		{
			name: "lock: expiry does not look at the state", pkg: "./store", test: "TestEverySequenceOfStepsEndsAsTheProtocolSays",
			edits: []edit{
				{
					"store/lockends.go", "over := row.state == models.LockLocked && millis(end.At) >= *row.expiresAt",
					"over := row.expiresAt != nil && millis(end.At) >= *row.expiresAt",
				},
				{
					"store/lockends.go", "case row.state == models.LockLocked && (end.To != models.LockExpired || over):",
					"case row.state == models.LockLocked && end.To != models.LockExpired || end.To == models.LockExpired && over:",
				},
				{"store/lockends.go", `" WHERE id IN ("+marks(len(ids))+") AND state = 'locked'"`, `" WHERE id IN ("+marks(len(ids))+")"`},
			},
		},
		one("lock: a confirm at the very end is too early", "store/lockends.go",
			"millis(end.At) >= *row.expiresAt", "millis(end.At) > *row.expiresAt",
			"./store", "TestTheEndOfALockIsExactToTheMillisecond"),
		one("lock: a coupon of somebody else is taken", "store/locks.go",
			"if c == nil || c.UserID != try.Cart.UserID ||", "if c == nil ||",
			"./store", "TestOnlyOnesOwnAvailableCouponsCanBeLocked"),
		one("refund: the same one pays again", "store/refunds.go",
			"		if before != nil {\n", "		if before != nil && dry {\n",
			"./store", "TestTheSameRefundFiftyTimesAtOncePaysOnce_Race"),
		one("refund: a share is one short", "discount/refund.go",
			"		sum += overlap(pos, r.Quantity, from, until) * r.Discount\n", "		sum += overlap(pos, r.Quantity, from, until)*r.Discount - 1\n",
			"./discount", "TestGoldenBaskets"),
	}
}

// commitBugs take a COMMIT that failed, or got no answer, for something else.
func commitBugs() []bug {
	const unanswered = "TestACommitWithoutAnAnswerIsUnknown"
	return []bug{
		one("commit: one that failed is called done", "store/tx.go",
			`		return fmt.Errorf("%w: %w", models.ErrUnknown, err)`, "		return nil",
			"./store", unanswered),
		one("commit: one without an answer is called failed", "store/tx.go",
			`fmt.Errorf("%w: %w", models.ErrUnknown, err)`, `fmt.Errorf("commit: %w", err)`,
			"./e2e/faults", "TestFaults/commit_reply_lost"),
		{
			name: "commit: one that a lost connection left without an answer is called never sent", pkg: "./store", test: unanswered,
			edits: []edit{
				{"store/tx.go", `	"gorm.io/gorm"` + "\n", `	"github.com/go-sql-driver/mysql"` + "\n" + `	"gorm.io/gorm"` + "\n"},
				{
					"store/tx.go", "	case errors.Is(err, sql.ErrTxDone), errors.Is(err, context.Canceled)",
					"	case errors.Is(err, sql.ErrTxDone), errors.Is(err, mysql.ErrInvalidConn), errors.Is(err, context.Canceled)",
				},
			},
		},
		one("commit: what got no answer is run again", "store/tx.go",
			"!s.dialect.retryable(err) || errors.Is(err, models.ErrUnknown) {",
			"!s.dialect.retryable(err) && !errors.Is(err, models.ErrUnknown) {",
			"./store", unanswered),
		one("commit: claims of an unknown one are answered as granted", "store/claims.go",
			"	if err != nil {\n		return nil, err\n	}\n	failpoint.Reach(failpoint.ClaimCommitted)\n",
			"	if err != nil && verdicts == nil {\n		return nil, err\n	}\n	failpoint.Reach(failpoint.ClaimCommitted)\n",
			"./store", unanswered),
		one("commit: locks of an unknown one are answered as made", "store/locks.go",
			"	if err != nil {\n		return nil, err\n	}\n	failpoint.Reach(failpoint.LockCommitted)\n",
			"	if err != nil && verdicts == nil {\n		return nil, err\n	}\n	failpoint.Reach(failpoint.LockCommitted)\n",
			"./store", unanswered),
		one("commit: the user of an unknown one is told that nothing happened", "claims/service.go",
			"case errors.Is(err, groupcommit.ErrBusy), errors.Is(err, groupcommit.ErrClosed):",
			"case errors.Is(err, groupcommit.ErrBusy), errors.Is(err, groupcommit.ErrClosed), errors.Is(err, models.ErrUnknown):",
			"./claims", "TestAnUnknownOutcomeIsSettledOnce"),
		one("commit: the order of an unknown one is told that nothing happened", "checkout/service.go",
			"case errors.Is(err, groupcommit.ErrBusy), errors.Is(err, groupcommit.ErrClosed):",
			"case errors.Is(err, groupcommit.ErrBusy), errors.Is(err, groupcommit.ErrClosed), errors.Is(err, models.ErrUnknown):",
			"./checkout", "TestUnknownOutcomePassesThrough"),
		{
			name: "commit: yes is said before it", pkg: "./e2e/faults", test: "TestFaults/crash_claim_committed",
			edits: []edit{
				{"store/tx.go", "	defer func() { _ = raw.Rollback() }() // after a commit it does nothing\n", ""},
				{"store/tx.go", "	return commit(raw)\n", "	time.AfterFunc(20*time.Millisecond, func() { _ = commit(raw) })\n	return nil\n"},
			},
		},
	}
}

func otherBugs() []bug {
	return []bug{
		one("store: rows are read without a lock", "store/mysql.go",
			`forUpdate: " FOR UPDATE",`, `forUpdate: "",`,
			"./store", "TestTwoServersNeverOversell_Race"),
		{
			name: "store: after a deadlock the transaction goes on", pkg: "./store", test: "TestBatchesInOppositeOrdersAllSucceed_Race",
			edits: []edit{asTheyCome(), {
				"store/tx.go", "	if err := fn(tx{orm: orm, sql: raw}); err != nil {\n",
				"	if err := fn(tx{orm: orm, sql: raw}); err != nil && !s.dialect.retryable(err) {\n",
			}},
		},
		{
			name: "store: budgets are locked as they come", pkg: "./store", test: "TestBatchesInOppositeOrdersAllSucceed_Race",
			edits: []edit{asTheyCome()},
		},
		one("store: an answer is kept after the change, not with it", "store/change.go",
			"		return s.remember(ctx, t, op, result, nil)\n	})\n",
			"		return nil\n	})\n	if err == nil {\n		err = s.inTx(ctx, func(t tx) error { return s.remember(ctx, t, op, result, nil) })\n	}\n",
			"./store", "TestAChangeIsMadeOncePerKey_Race"),
		one("groupcommit: who gave up on a batch is told that nothing happened", "groupcommit/groupcommit.go",
			"	var none A\n	return none, ErrAbandoned\n", "	var none A\n	return none, ErrBusy\n",
			"./groupcommit", "TestDeadlines"),
		one("jobs: a job belongs to everybody", "store/leases.go",
			"WHERE name = ? AND (owner = ? OR until <= ?)`", "WHERE name = ? AND (owner = ? OR until <= ? + 1000000000000)`",
			"./store", "TestALeaseHasOneOwner_Race"),
	}
}

// asTheyCome has the budgets of a transaction locked in no order.
func asTheyCome() edit {
	return edit{
		"store/ledger.go", "	ids = unique(ids)\n	if len(ids) == 0 {\n		return l, nil\n	}\n",
		"	for _, id := range ids {\n		if lock {\n			none := func(scan func(...any) error) error { return nil }\n" +
			"			if err := query(ctx, q, \"SELECT id FROM budgets WHERE id = ?\"+s.dialect.forUpdate, []any{id}, none); err != nil {\n" +
			"				return nil, err\n			}\n		}\n	}\n	ids = unique(ids)\n	if len(ids) == 0 {\n		return l, nil\n	}\n",
	}
}
