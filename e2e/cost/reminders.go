package main

import (
	"strconv"

	"scrip/client"
)

// reminders weighs what it costs a claim that its coupon is reminded of.
func (b *bench) reminders() {
	w := b.way("scrip")
	api := b.api(w)
	rule := b.rule(api)
	var all []*subject
	var opened [][]string
	for i, c := range []struct {
		name   string
		before []int
	}{{"Scrip", nil}, {"Scrip, one reminder", []int{1}}, {"Scrip, two reminders", []int{3, 1}}} {
		template := b.publishTemplate(api, client.NewTemplate{RuleID: rule, Stock: new(int64(plenty)), RemindBeforeDays: c.before})
		opened = append(opened, []string{template})
		all = append(all, &subject{name: c.name, way: w, do: claim(opened[i], "r"+strconv.Itoa(i))})
	}
	b.takeTurns(all)
	for i, s := range all {
		b.sold(w, opened[i], s.done)
	}
	b.show("", b.table("Claims whose coupons remind of their end", all, peers{scrip: all[0]}))
}
