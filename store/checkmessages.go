package store

// messageInvariants hold deliveries against what they are to tell.
func messageInvariants() []invariant {
	return []invariant{
		{
			"what waits to be delivered is there, in the queue of its receiver",
			`SELECT d.id, d.queue, d.channel, d.event_id, d.user_id, d.message_id FROM deliveries d
				LEFT JOIN outbox o ON o.id = d.event_id
				LEFT JOIN messages m ON m.user_id = d.user_id AND m.id = d.message_id
				WHERE d.state = 'waiting' AND (d.queue IS NULL
					OR d.channel = 'webhook' AND (o.id IS NULL OR o.relayed_at IS NULL OR d.queue NOT LIKE 'webhook:%')
					OR d.channel <> 'webhook' AND (m.id IS NULL OR d.queue <> d.channel))`,
		},
		{
			"what is delivered or given up waits no more, and was tried",
			`SELECT id, state, queue, attempts, finished_at FROM deliveries
				WHERE state <> 'waiting' AND (queue IS NOT NULL OR finished_at IS NULL OR attempts < 1)`,
		},
		{
			"every message has its content",
			`SELECT m.user_id, m.id, m.content_id FROM messages m LEFT JOIN message_contents c ON c.id = m.content_id
				WHERE c.id IS NULL`,
		},
	}
}
