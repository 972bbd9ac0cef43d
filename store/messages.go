package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"scrip/models"
)

// keepContent stores a content, unless there is one of its name: then that one
// holds. It returns the id.
func (s *Store) keepContent(ctx context.Context, t tx, c *models.Content) (id models.ID, err error) {
	if id, err = s.ids.Next(); err != nil {
		return 0, err
	}
	texts, err := marshalAll(c.Notice, c.Facts, c.About)
	if err != nil {
		return 0, err
	}
	err = insert(ctx, t, "message_contents (id, merchant_id, name, kind, notice, facts, about, created_at)", 8,
		[]any{id, c.MerchantID, c.Name, c.Kind, texts[0], texts[1], texts[2], millis(c.CreatedAt)}, s.dialect.keep("id"))
	if err != nil {
		return 0, err
	}
	if err := t.sql.QueryRowContext(ctx, "SELECT id FROM message_contents WHERE name = ?", c.Name).Scan(&id); err != nil {
		return 0, fmt.Errorf("find content %s: %w", c.Name, err)
	}
	return id, nil
}

func marshalAll(values ...any) ([]string, error) {
	texts := make([]string, len(values))
	for i, value := range values {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("store a content: %w", err)
		}
		texts[i] = string(text)
	}
	return texts, nil
}

func readContents(ctx context.Context, q querier, where string, args ...any) ([]models.Content, error) {
	var contents []models.Content
	err := query(ctx, q, "SELECT id, merchant_id, name, kind, notice, facts, about, created_at FROM message_contents WHERE "+where, args,
		func(scan func(...any) error) error {
			var c models.Content
			var notice, facts, about []byte
			var created int64
			if err := scan(&c.ID, &c.MerchantID, &c.Name, &c.Kind, &notice, &facts, &about, &created); err != nil {
				return err
			}
			c.CreatedAt = instant(created)
			contents = append(contents, c)
			last := &contents[len(contents)-1]
			return errors.Join(json.Unmarshal(notice, &last.Notice), json.Unmarshal(facts, &last.Facts), json.Unmarshal(about, &last.About))
		})
	if err != nil {
		return nil, fmt.Errorf("read contents: %w", err)
	}
	return contents, nil
}

// contentsOf reads contents, by id.
func contentsOf(ctx context.Context, q querier, ids []models.ID) (map[models.ID]*models.Content, error) {
	byID := map[models.ID]*models.Content{}
	ids = unique(ids)
	if len(ids) == 0 {
		return byID, nil
	}
	contents, err := readContents(ctx, q, "id IN ("+marks(len(ids))+")", anys(ids)...)
	for i := range contents {
		byID[contents[i].ID] = &contents[i]
	}
	return byID, err
}

// notify tells users something, in the transaction of the cause: each gets one
// message of a content for an occasion, however often it is asked for, and a
// delivery by each of the content's channels that is set up and for which there
// is an address. Those who are known to have been away too long are told nothing.
// It returns how many were told. The content is new, or the same as when it was
// first told of, by its name; CreatedAt is now.
func (s *Store) notify(ctx context.Context, t tx, c models.Content, occasion int64, to []models.Recipient) (int, error) {
	if len(to) == 0 {
		return 0, nil
	}
	id, err := s.keepContent(ctx, t, &c)
	if err != nil {
		return 0, err
	}
	c.ID = id
	users := make([]string, len(to))
	for i := range to {
		users[i] = to[i].UserID
	}
	known, err := readAddressees(ctx, t, c.MerchantID, users)
	if err != nil {
		return 0, err
	}
	n := &notifying{store: s, content: &c, occasion: occasion}
	if err := n.choose(to, known); err != nil {
		return 0, err
	}
	if err := n.insertMessages(ctx, t); err != nil {
		return 0, err
	}
	return n.insertDeliveries(ctx, t)
}

// notifying is one run of notify.
type notifying struct {
	store    *Store
	content  *models.Content
	occasion int64
	messages []outgoing // by user
}

// outgoing is a message that is to be made, and by which channels it goes out.
type outgoing struct {
	id       models.ID
	user     string
	facts    any
	channels []models.Channel
}

// choose decides who is told, and how.
func (n *notifying) choose(to []models.Recipient, known map[string]addressee) error {
	uses := n.content.Uses()
	seen := map[string]bool{}
	for i := range to {
		who, user := known[to[i].UserID], to[i].UserID
		if seen[user] || who.away(n.content.CreatedAt, n.store.activeFor) {
			continue
		}
		seen[user] = true
		out := outgoing{user: user}
		for _, channel := range n.store.channels {
			if n.content.Has(channel) && who.address(channel) != "" {
				out.channels = append(out.channels, channel)
			}
		}
		if len(out.channels) == 0 && !n.content.Has(models.ChannelInbox) {
			continue
		}
		var err error
		if out.id, err = n.store.ids.Next(); err != nil {
			return err
		}
		if out.facts, err = used(to[i].Facts, uses); err != nil {
			return err
		}
		n.messages = append(n.messages, out)
	}
	slices.SortFunc(n.messages, func(a, b outgoing) int { return cmp.Compare(a.user, b.user) })
	return nil
}

// used is those of a user's facts that a text has a place for, as they are
// stored: NULL if there are none.
func used(facts models.Facts, uses []string) (any, error) {
	kept := models.Facts{}
	for _, name := range uses {
		if value, found := facts[name]; found {
			kept[name] = value
		}
	}
	if len(kept) == 0 {
		return nil, nil //nolint:nilnil // NULL is a proper value
	}
	text, err := json.Marshal(kept)
	return string(text), err
}

func (n *notifying) insertMessages(ctx context.Context, t tx) error {
	const columns = 7
	args := make([]any, 0, columns*len(n.messages))
	for _, m := range n.messages {
		args = append(args, m.user, m.id, n.content.ID, n.occasion, m.facts, n.content.Has(models.ChannelInbox), millis(n.content.CreatedAt))
	}
	return insert(ctx, t, "messages (user_id, id, content_id, occasion, facts, inbox, created_at)", columns, args,
		n.store.dialect.keep("user_id"))
}

// insertDeliveries writes what goes out of the messages that are new, and counts
// these: of the others it was written before.
func (n *notifying) insertDeliveries(ctx context.Context, t tx) (int, error) {
	ours, err := n.stored(ctx, t)
	if err != nil {
		return 0, err
	}
	made, at := 0, millis(n.content.CreatedAt)
	var args []any
	for _, m := range n.messages {
		if !ours[m.id] {
			continue
		}
		made++
		for _, channel := range m.channels {
			id, err := n.store.ids.Next()
			if err != nil {
				return 0, err
			}
			args = append(args, id, channel, channel, m.user, m.id, "waiting", at, at)
		}
	}
	return made, insert(ctx, t, "deliveries (id, queue, channel, user_id, message_id, state, not_before, created_at)", 8, args, "")
}

// stored finds which messages are there, of those that were to be made.
func (n *notifying) stored(ctx context.Context, t tx) (map[models.ID]bool, error) {
	found := make(map[models.ID]bool, len(n.messages))
	for some := range slices.Chunk(n.messages, maxArgs/2) {
		args := []any{n.content.ID, n.occasion}
		for _, m := range some {
			args = append(args, m.user)
		}
		err := query(ctx, t, "SELECT id FROM messages WHERE content_id = ? AND occasion = ? AND user_id IN ("+marks(len(some))+")", args,
			func(scan func(...any) error) error {
				var id models.ID
				err := scan(&id)
				found[id] = true
				return err
			})
		if err != nil {
			return nil, fmt.Errorf("read messages: %w", err)
		}
	}
	return found, nil
}

// addressee is what is known of a user by a content's owner, or else by the
// platform.
type addressee struct {
	locale, email, phone string
	active               *int64
}

// away reports whether a user is known to have done nothing for too long. Of
// whom nothing is known that is not known either.
func (a *addressee) away(now time.Time, limit time.Duration) bool {
	return limit > 0 && a.active != nil && instant(*a.active).Before(now.Add(-limit))
}

func (a *addressee) address(channel models.Channel) string {
	switch channel {
	case models.ChannelMail:
		return a.email
	case models.ChannelSMS:
		return a.phone
	case models.ChannelInbox, models.ChannelWebhook:
	}
	return ""
}

// learn takes over what is not known yet, and the later activity.
func (a *addressee) learn(b addressee) {
	a.locale, a.email, a.phone = cmp.Or(a.locale, b.locale), cmp.Or(a.email, b.email), cmp.Or(a.phone, b.phone)
	if a.active == nil || b.active != nil && *b.active > *a.active {
		a.active = b.active
	}
}

// readAddressees reads what is known of users.
func readAddressees(ctx context.Context, q querier, merchantID string, users []string) (map[string]addressee, error) {
	known := make(map[string]addressee, len(users))
	for _, owner := range unique([]string{merchantID, ""}) {
		found := map[string]addressee{}
		for some := range slices.Chunk(users, maxArgs) {
			err := query(ctx, q, "SELECT user_id, locale, email, phone, last_active_at FROM users WHERE merchant_id = ? AND user_id IN ("+
				marks(len(some))+")", append([]any{owner}, anys(some)...), func(scan func(...any) error) error {
				var user string
				var a addressee
				err := scan(&user, &a.locale, &a.email, &a.phone, &a.active)
				found[user] = a
				return err
			})
			if err != nil {
				return nil, fmt.Errorf("read users: %w", err)
			}
		}
		for user, a := range found { // the platform's entry comes first, and the owner's own counts more
			a.learn(known[user])
			known[user] = a
		}
	}
	return known, nil
}

// Inbox reads a page of a user's messages, newest first, in the given locale, or
// without one in the user's own, and counts those that are unread.
func (s *Store) Inbox(ctx context.Context, userID, locale string, page models.Page) (models.Inbox, error) {
	var inbox models.Inbox
	where, args := "user_id = ? AND inbox = ?", []any{userID, true}
	if page.Before != 0 {
		where, args = where+" AND id < ?", append(args, page.Before)
	}
	rows, err := readMessages(ctx, s.sql, where+" ORDER BY id DESC LIMIT ?", append(args, page.Limit)...)
	if err != nil {
		return inbox, err
	}
	if inbox.Messages, err = s.inWords(ctx, s.sql, rows, locale); err != nil {
		return inbox, err
	}
	err = s.sql.row(ctx, "SELECT COUNT(*) FROM messages WHERE user_id = ? AND inbox = ? AND read_at IS NULL",
		[]any{userID, true}, &inbox.Unread)
	if err != nil {
		return inbox, fmt.Errorf("count unread messages: %w", err)
	}
	return inbox, nil
}

// ReadMessage notes that a user has read a message. One that was read before
// stays as it is.
func (s *Store) ReadMessage(ctx context.Context, op models.Op, userID string, id models.ID) (models.Message, error) {
	return change(ctx, s, op, func(t tx) (models.Message, note, error) {
		_, err := t.sql.ExecContext(ctx, "UPDATE messages SET read_at = ? WHERE user_id = ? AND id = ? AND inbox = ? AND read_at IS NULL",
			millis(op.At), userID, id, true)
		if err != nil {
			return models.Message{}, note{}, fmt.Errorf("read message: %w", err)
		}
		rows, err := readMessages(ctx, t, "user_id = ? AND id = ? AND inbox = ?", userID, id, true)
		if err != nil {
			return models.Message{}, note{}, err
		}
		if len(rows) == 0 {
			return models.Message{}, note{}, models.NotFound("message")
		}
		read, err := s.inWords(ctx, t, rows, "")
		if err != nil {
			return models.Message{}, note{}, err
		}
		return read[0], note{}, nil
	})
}

// messageRow is a row of messages.
type messageRow struct {
	id, content models.ID
	user        string
	facts       models.Facts
	created     int64
	read        sql.NullInt64
}

func readMessages(ctx context.Context, q querier, where string, args ...any) ([]messageRow, error) {
	var rows []messageRow
	err := query(ctx, q, "SELECT user_id, id, content_id, facts, created_at, read_at FROM messages WHERE "+where, args,
		func(scan func(...any) error) error {
			var row messageRow
			var facts []byte
			err := scan(&row.user, &row.id, &row.content, &facts, &row.created, &row.read)
			if err == nil && facts != nil {
				err = json.Unmarshal(facts, &row.facts)
			}
			rows = append(rows, row)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	return rows, nil
}

// inWords gives one user's messages their texts.
func (s *Store) inWords(ctx context.Context, q querier, rows []messageRow, locale string) ([]models.Message, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	ids := make([]models.ID, len(rows))
	for i := range rows {
		ids[i] = rows[i].content
	}
	contents, err := contentsOf(ctx, q, ids)
	if err != nil {
		return nil, err
	}
	locales := map[string]string{} // by the owner of the content
	for _, content := range contents {
		locales[content.MerchantID] = locale
	}
	for owner := range locales {
		if locale != "" {
			break
		}
		known, err := readAddressees(ctx, q, owner, []string{rows[0].user})
		if err != nil {
			return nil, err
		}
		locales[owner] = known[rows[0].user].locale
	}
	messages := make([]models.Message, len(rows))
	for i, row := range rows {
		content := contents[row.content]
		if content == nil {
			return nil, fmt.Errorf("message %s has no content", row.id)
		}
		messages[i] = row.message(content, locales[content.MerchantID])
	}
	return messages, nil
}

func (r *messageRow) message(content *models.Content, locale string) models.Message {
	text, tag := content.In(locale)
	m := models.Message{
		ID: r.id, UserID: r.user, Kind: content.Kind, About: content.About, Text: text.Fill(r.facts, content.Facts), Locale: tag,
		CreatedAt: instant(r.created),
	}
	if r.read.Valid {
		m.ReadAt = new(instant(r.read.Int64))
	}
	return m
}

// leasedMessages reads what a lease has got, with text and address as they are
// now.
func (s *Store) leasedMessages(ctx context.Context, t tx, channel models.Channel, token models.ID, ids []any) ([]models.Delivery, error) {
	var leased []models.Delivery
	var rows []messageRow
	err := query(ctx, t, `SELECT d.id, d.attempts, d.created_at, m.user_id, m.id, m.content_id, m.facts
		FROM deliveries d JOIN messages m ON m.user_id = d.user_id AND m.id = d.message_id
		WHERE d.id IN (`+marks(len(ids))+") AND d.token = ? ORDER BY d.id", append(ids, token),
		func(scan func(...any) error) error {
			d := models.Delivery{Channel: channel, Token: token}
			var row messageRow
			var facts []byte
			var created int64
			err := scan(&d.ID, &d.Attempts, &created, &row.user, &row.id, &row.content, &facts)
			if err == nil && facts != nil {
				err = json.Unmarshal(facts, &row.facts)
			}
			d.CreatedAt = instant(created)
			leased, rows = append(leased, d), append(rows, row)
			return err
		})
	if err != nil {
		return nil, err
	}
	contentIDs := make([]models.ID, len(rows))
	byContent := map[models.ID][]string{}
	for i, row := range rows {
		contentIDs[i] = row.content
		byContent[row.content] = append(byContent[row.content], row.user)
	}
	contents, err := contentsOf(ctx, t, contentIDs)
	if err != nil {
		return nil, err
	}
	known := map[models.ID]map[string]addressee{}
	for _, id := range slices.Sorted(maps.Keys(contents)) {
		if known[id], err = readAddressees(ctx, t, contents[id].MerchantID, byContent[id]); err != nil {
			return nil, err
		}
	}
	for i := range leased {
		content := contents[rows[i].content]
		if content == nil {
			return nil, fmt.Errorf("message %s has no content", rows[i].id)
		}
		who := known[content.ID][rows[i].user]
		leased[i].To, leased[i].Text = who.address(channel), rows[i].message(content, who.locale).Text
	}
	return leased, nil
}

// PurgeMessages drops at most limit messages older than before, and returns how
// many. What goes out of them is over by then.
func (s *Store) PurgeMessages(ctx context.Context, before time.Time, limit int) (gone int, err error) {
	err = s.inTx(ctx, func(t tx) error {
		var keys []any
		gone = 0
		err := query(ctx, t, "SELECT user_id, id FROM messages WHERE created_at < ? ORDER BY created_at LIMIT ?",
			[]any{millis(before), limit}, func(scan func(...any) error) error {
				var user string
				var id models.ID
				err := scan(&user, &id)
				keys = append(keys, user, id)
				return err
			})
		if err != nil || len(keys) == 0 {
			return err
		}
		either := strings.Repeat(" OR user_id = ? AND id = ?", len(keys)/2)[len(" OR "):]
		done, err := t.sql.ExecContext(ctx, "DELETE FROM messages WHERE "+either, keys...)
		if err != nil {
			return err
		}
		n, err := done.RowsAffected()
		gone = int(n)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("purge messages: %w", err)
	}
	return gone, nil
}
