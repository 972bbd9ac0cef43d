package store

func jobInvariants() []invariant {
	return []invariant{
		{
			"a job's total is the sum of its tasks",
			`SELECT j.id, j.total, COALESCE(SUM(t.units), 0) AS units FROM jobs j LEFT JOIN tasks t ON t.job_id = j.id
				GROUP BY j.id, j.total HAVING j.total <> COALESCE(SUM(t.units), 0)`,
		},
		{
			"a job has done what its ended tasks were about",
			`SELECT j.id, j.done, COALESCE(SUM(t.units), 0) AS units FROM jobs j
				LEFT JOIN tasks t ON t.job_id = j.id AND t.state <> 'ready'
				GROUP BY j.id, j.done HAVING j.done <> COALESCE(SUM(t.units), 0)`,
		},
		{
			"a job is over when its last task is ended, and failed if one was given up",
			`SELECT j.id, j.state, t.seq, t.state AS task_state FROM jobs j JOIN tasks t ON t.job_id = j.id
				WHERE j.state IN ('done', 'failed') AND t.state = 'ready' OR j.state = 'done' AND t.state = 'dead'`,
		},
		{
			"a job that has nothing left to do is over",
			`SELECT j.id, j.state FROM jobs j WHERE j.state IN ('queued', 'running')
				AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.job_id = j.id AND t.state = 'ready')`,
		},
		{
			"only a task that is done has forgotten what it was to do",
			`SELECT job_id, seq, state FROM tasks WHERE (args IS NULL) <> (state = 'done')`,
		},
	}
}
