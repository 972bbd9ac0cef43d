package store

// ofCodes counts the codes of each batch, in one pass over all of them.
const ofCodes = "(SELECT batch_id, COUNT(*) AS codes, SUM(used) AS used FROM codes GROUP BY batch_id)"

func codeInvariants() []invariant {
	return []invariant{
		{
			"a batch of codes has as many as its job has made, and was used as often as they",
			`SELECT b.id, b.used, j.done, c.codes, c.used AS of_codes FROM code_batches b
				LEFT JOIN jobs j ON j.id = b.id LEFT JOIN ` + ofCodes + ` c ON c.batch_id = b.id
				WHERE COALESCE(c.codes, 0) <> COALESCE(j.done - j.failed, 1) OR COALESCE(c.used, 0) <> b.used`,
		},
		{
			"a batch of single-use codes has a job of its size",
			`SELECT b.id, b.total, j.total AS of_job FROM code_batches b LEFT JOIN jobs j ON j.id = b.id AND j.kind = 'codes'
				WHERE (b.sealed IS NULL) <> (j.id IS NOT NULL) OR b.total <> j.total`,
		},
		{
			"every single-use code is sealed, for the export",
			`SELECT b.id, j.done, COALESCE(SUM(k.codes), 0) AS sealed FROM code_batches b JOIN jobs j ON j.id = b.id
				LEFT JOIN code_chunks k ON k.batch_id = b.id
				GROUP BY b.id, j.done, j.failed HAVING COALESCE(SUM(k.codes), 0) <> j.done - j.failed`,
		},
		{
			"no code serves more often than its batch says",
			`SELECT c.batch_id, c.used, c.usage_limit, b.usage_limit AS of_batch FROM codes c LEFT JOIN code_batches b ON b.id = c.batch_id
				WHERE c.used > c.usage_limit OR b.id IS NULL OR c.usage_limit <> b.usage_limit`,
		},
		{
			"a code was used once for each coupon that was claimed by it",
			`SELECT c.batch_id, c.used, u.coupons FROM (SELECT hash, COUNT(*) AS coupons FROM code_uses GROUP BY hash) u
				LEFT JOIN codes c ON c.hash = u.hash WHERE c.hash IS NULL OR c.used <> u.coupons`,
		},
		{
			"all uses of codes have their coupons",
			`SELECT c.used, u.coupons FROM (SELECT COALESCE(SUM(used), 0) AS used FROM codes) c
				JOIN (SELECT COUNT(*) AS coupons FROM code_uses) u ON u.coupons <> c.used`,
		},
		{
			"what was claimed by a code is a coupon of its template",
			`SELECT u.coupon_id, b.template_id, k.template_id AS of_coupon FROM code_uses u
				LEFT JOIN codes c ON c.hash = u.hash LEFT JOIN code_batches b ON b.id = c.batch_id
				LEFT JOIN coupons k ON k.id = u.coupon_id
				WHERE b.id IS NULL OR k.id IS NULL OR b.template_id <> k.template_id`,
		},
		{
			"every coupon of a template that is issued by codes was claimed by one",
			`SELECT k.id, k.template_id FROM templates t JOIN coupons k ON k.template_id = t.id
				LEFT JOIN code_uses u ON u.coupon_id = k.id WHERE t.issue = 'code' AND u.coupon_id IS NULL`,
		},
	}
}
