package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"scrip/models"
)

// TaskUsers are the users that a task of a distribution serves; nil for one that
// is to find users first.
func (*Store) TaskUsers(task *models.Task) ([]string, error) {
	var args distributionArgs
	if err := json.Unmarshal(task.Args, &args); err != nil {
		return nil, fmt.Errorf("args of task %d: %w", task.Seq, err)
	}
	return args.Users, nil
}

// FindAudience does a task that finds users of the distribution's audience: it
// adds tasks that serve them, and leaves itself to be done again while there may
// be more. Each user is found once, for the walk goes along a key.
func (s *Store) FindAudience(ctx context.Context, task *models.Task, d *models.Distribution, couponsEach int64) error {
	return s.inTask(ctx, task, func(t tx) (outcome, error) {
		var args distributionArgs
		if err := json.Unmarshal(task.Args, &args); err != nil {
			return outcome{}, fmt.Errorf("args of task %d: %w", task.Seq, err)
		}
		size := chunkUsers(couponsEach, d.Rate)
		users, err := audienceAfter(ctx, t, d, args.After, size*chunksFound)
		if err != nil {
			return outcome{}, err
		}
		came := outcome{first: args.Next}
		for chunk := range slices.Chunk(users, size) {
			made, err := newTask(len(chunk), distributionArgs{Users: chunk})
			if err != nil {
				return outcome{}, err
			}
			came.more = append(came.more, made)
		}
		if len(users) < size*chunksFound {
			return came, nil
		}
		args.After, args.Next = users[len(users)-1], args.Next+int64(len(came.more))
		came.args, err = json.Marshal(args)
		return came, err
	})
}

// audienceAfter reads the next users of a distribution's audience, by id.
func audienceAfter(ctx context.Context, q querier, d *models.Distribution, after string, limit int) ([]string, error) {
	if d.Audience.Kind == models.AudienceAll {
		return texts(ctx, q, "SELECT user_id FROM users WHERE merchant_id = ? AND user_id > ? ORDER BY user_id LIMIT ?",
			d.MerchantID, after, limit)
	}
	var users []string
	for _, tag := range d.Audience.Tags {
		of, err := texts(ctx, q, "SELECT user_id FROM user_tags WHERE merchant_id = ? AND tag = ? AND user_id > ? ORDER BY user_id LIMIT ?",
			d.MerchantID, tag, after, limit)
		if err != nil {
			return nil, err
		}
		users = unique(append(users, of...))
		users = users[:min(len(users), limit)]
	}
	return users, nil
}

// texts reads the rows of one column.
func texts(ctx context.Context, q querier, statement string, args ...any) ([]string, error) {
	var all []string
	err := query(ctx, q, statement, args, func(scan func(...any) error) error {
		var one string
		err := scan(&one)
		all = append(all, one)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	return all, nil
}

// Deliver does a task that serves users, in the one transaction that ends it.
// batch is their claims, those of a user side by side; it is decided as
// CommitClaims does, with a verdict for each claim, but for users whom the
// distribution has dealt with before: theirs are empty.
//
// A user who cannot be served is set aside with the reason, and all others are
// served: one by one at last, if nothing else goes through. models.ErrStale when a
// template was edited; models.ErrLeaseLost when the task is not the worker's.
func (s *Store) Deliver(ctx context.Context, task *models.Task, batch []models.Claim) ([]models.Verdict, error) {
	d := &delivery{Store: s, task: task, claims: batch, trusting: true}
	err := d.run(ctx)
	for tries := 1; s.dialect.duplicate(err) && tries < maxAttempts; tries++ {
		d.trusting = false // somebody has a coupon already, or was dealt with: look
		err = d.run(ctx)
	}
	if d.isPoison(err) {
		s.log.WarnContext(ctx, "a task goes user by user now", "job", task.JobID, "task", task.Seq, "error", err)
		d.trusting, d.careful = false, true
		err = d.run(ctx)
	}
	return d.verdicts, err
}

// delivery is one run of Deliver.
type delivery struct {
	*Store

	task     *models.Task
	claims   []models.Claim
	trusting bool // that nobody has anything yet; a unique key tells if it was wrong
	careful  bool // set aside whoever cannot be stored

	verdicts []models.Verdict
	failures []models.DeliveryFailure
	dealt    int64 // users, the failures among them
}

func (d *delivery) run(ctx context.Context) error {
	return d.inTask(ctx, d.task, func(t tx) (outcome, error) {
		d.verdicts, d.failures, d.dealt = make([]models.Verdict, len(d.claims)), nil, 0
		serve := d.serve
		if d.careful {
			serve = d.serveCarefully
		}
		if err := serve(ctx, t, 0, len(d.claims)); err != nil {
			return outcome{}, err
		}
		if err := d.note(ctx, t); err != nil {
			return outcome{}, err
		}
		if err := d.tell(ctx, t); err != nil {
			return outcome{}, err
		}
		return outcome{failed: int64(len(d.failures))}, nil
	})
}

// serve deals with the claims from…until: notes their users, and decides them.
func (d *delivery) serve(ctx context.Context, t tx, from, until int) error {
	fresh, err := d.fresh(ctx, t, from, until)
	if err != nil {
		return err
	}
	var users []any
	part := make([]models.Claim, len(fresh))
	for i, at := range fresh {
		if part[i] = d.claims[at]; i == 0 || part[i].UserID != part[i-1].UserID {
			users = append(users, d.task.JobID, part[i].UserID)
		}
	}
	if err := insert(ctx, t, "distribution_users (distribution_id, user_id)", 2, users, ""); err != nil {
		return err
	}
	b := newClaimBatch(part)
	b.trusting = d.trusting
	if err := b.read(ctx, d.Store, t); err != nil {
		return err
	}
	b.decide()
	if slices.ContainsFunc(b.verdicts, func(v models.Verdict) bool { return v.Stale }) {
		return models.ErrStale
	}
	if err := b.write(ctx, t); err != nil {
		return err
	}
	d.dealt += int64(len(users) / 2)
	for i, at := range fresh {
		d.verdicts[at] = b.verdicts[i]
		if refused := b.verdicts[i].Refused; refused != nil && (i == 0 || part[i].UserID != part[i-1].UserID) {
			d.failures = append(d.failures, models.DeliveryFailure{UserID: part[i].UserID, Code: refused.Code, Detail: refused.Detail})
		}
	}
	return nil
}

// fresh lists the claims of users whom the distribution has not dealt with yet.
func (d *delivery) fresh(ctx context.Context, t tx, from, until int) (at []int, err error) {
	dealt := map[string]bool{}
	if !d.trusting {
		users := make([]string, 0, until-from)
		for _, c := range d.claims[from:until] {
			users = append(users, c.UserID)
		}
		users = unique(users)
		known, err := texts(ctx, t, "SELECT user_id FROM distribution_users WHERE distribution_id = ? AND user_id IN ("+marks(len(users))+")",
			append([]any{d.task.JobID}, anys(users)...)...)
		if err != nil {
			return nil, err
		}
		for _, user := range known {
			dealt[user] = true
		}
	}
	for i := from; i < until; i++ {
		if user := d.claims[i].UserID; !dealt[user] {
			at = append(at, i)
		}
	}
	return at, nil
}

// serveCarefully halves what cannot be stored until it is one user, who is set
// aside.
func (d *delivery) serveCarefully(ctx context.Context, t tx, from, until int) error {
	if _, err := t.sql.ExecContext(ctx, "SAVEPOINT part"); err != nil {
		return err
	}
	err := d.serve(ctx, t, from, until)
	if !d.isPoison(err) {
		return err
	}
	if _, undone := t.sql.ExecContext(ctx, "ROLLBACK TO SAVEPOINT part"); undone != nil {
		return errors.Join(err, undone)
	}
	middle := d.middle(from, until)
	if middle == from {
		return d.setAside(ctx, t, d.claims[from].UserID, err)
	}
	if err := d.serveCarefully(ctx, t, from, middle); err != nil {
		return err
	}
	return d.serveCarefully(ctx, t, middle, until)
}

// middle is where a user's claims begin, about half way; from if they are all
// one user's.
func (d *delivery) middle(from, until int) int {
	middle := from + (until-from)/2
	for middle > from && d.claims[middle].UserID == d.claims[middle-1].UserID {
		middle--
	}
	if middle > from {
		return middle
	}
	for i := from + 1; i < until; i++ {
		if d.claims[i].UserID != d.claims[from].UserID {
			return i
		}
	}
	return from
}

func (d *delivery) setAside(ctx context.Context, t tx, user string, why error) error {
	d.log.WarnContext(ctx, "a user of a distribution is set aside", "distribution", d.task.JobID, "user", user, "error", why)
	d.dealt++
	d.failures = append(d.failures, models.DeliveryFailure{
		UserID: user, Code: models.CodeInternal, Detail: "it could not be stored; the server's log tells why",
	})
	return insert(ctx, t, "distribution_users (distribution_id, user_id)", 2, []any{d.task.JobID, user}, "")
}

// isPoison reports whether the database refuses the data, and would however often
// the same were tried.
func (d *delivery) isPoison(err error) bool {
	return d.dialect.refused(err) && !d.dialect.duplicate(err) && !d.dialect.retryable(err) && !d.dialect.away(err) &&
		!errors.Is(err, models.ErrUnknown)
}

// note stores the failures, and how many users came again.
func (d *delivery) note(ctx context.Context, t tx) error {
	args := make([]any, 0, 4*len(d.failures))
	for _, one := range d.failures {
		args = append(args, d.task.JobID, one.UserID, one.Code, one.Detail)
	}
	if err := insert(ctx, t, "distribution_failures (distribution_id, user_id, code, detail)", 4, args, ""); err != nil {
		return err
	}
	repeats := d.task.Units - d.dealt // named twice in the list, here or before
	if repeats == 0 {
		return nil
	}
	_, err := t.sql.ExecContext(ctx, "UPDATE distributions SET repeats = repeats + ? WHERE id = ?", repeats, d.task.JobID)
	return err
}

func distributionInvariants(d dialect) []invariant {
	return []invariant{
		{
			"a distribution has a job of its kind, and a job of the kind a distribution",
			`SELECT j.id, j.kind, d.id AS distribution_id FROM jobs j LEFT JOIN distributions d ON d.id = j.id
				WHERE (j.kind = 'distribution') <> (d.id IS NOT NULL)`,
		},
		{
			"a distribution has dealt with as many users as its job has done",
			`SELECT j.id, j.done, d.repeats, n.users, n.dead FROM jobs j JOIN distributions d ON d.id = j.id
				JOIN (SELECT d2.id,
						(SELECT COUNT(*) FROM distribution_users u WHERE u.distribution_id = d2.id) AS users,
						(SELECT COALESCE(SUM(t.units), 0) FROM tasks t WHERE t.job_id = d2.id AND t.state = 'dead') AS dead
					FROM distributions d2) n ON n.id = d.id
				WHERE j.done <> n.users + d.repeats + n.dead`,
		},
		{
			"a distribution has as many failures as its job counts",
			`SELECT j.id, j.failed, n.failures, n.dead FROM jobs j
				JOIN (SELECT d.id,
						(SELECT COUNT(*) FROM distribution_failures f WHERE f.distribution_id = d.id) AS failures,
						(SELECT COALESCE(SUM(t.units), 0) FROM tasks t WHERE t.job_id = d.id AND t.state = 'dead') AS dead
					FROM distributions d) n ON n.id = j.id
				WHERE j.failed <> n.failures + n.dead`,
		},
		{
			// Or MySQL may go through all coupons of the template for each of its users.
			"a user with whom a distribution has dealt has a coupon, or a reason why not",
			`SELECT u.distribution_id, u.user_id FROM distribution_users u JOIN distributions d ON d.id = u.distribution_id
				LEFT JOIN distribution_failures f ON f.distribution_id = u.distribution_id AND f.user_id = u.user_id
				LEFT JOIN coupons c` + d.force("coupons_of_user") + ` ON c.user_id = u.user_id AND c.template_id = d.template_id
				LEFT JOIN pack_claims p ON p.pack_id = d.pack_id AND p.user_id = u.user_id
				WHERE f.user_id IS NULL
					AND (d.template_id IS NULL OR c.id IS NULL) AND (d.pack_id IS NULL OR p.id IS NULL)`,
		},
	}
}
