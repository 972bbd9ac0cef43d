package main

import (
	"fmt"
	"strings"
)

// aim is something that Scrip is meant to reach.
type aim struct {
	what            string
	scenario, value string
	limit           float64
	least           bool   // at least limit, not at most
	unit            string // after the number
	digits          int
}

func aims() []aim {
	return []aim{
		{what: "processor time of a durable claim (Scrip, MariaDB, Redis), in gin floors", scenario: "hot", value: "Scrip/floors", limit: 1.8, digits: 2},
		{what: "MariaDB's part of it", scenario: "hot", value: "Scrip/maria", limit: 30, unit: " µs", digits: 1},
		{what: "how much dearer a claim is in the common way", scenario: "hot", value: "common way/scrips", limit: 15, least: true, unit: " ×", digits: 1},
		{what: "how much dearer in the reference way", scenario: "hot", value: "reference way/scrips", limit: 4, least: true, unit: " ×", digits: 1},
		{what: "a claim whose coupon reminds of its end twice, of one that does not", scenario: "reminders", value: "Scrip, two reminders/scrips", limit: 1.2, digits: 2},
		{what: "claims a second, of the floor's requests", scenario: "hot", value: "Scrip/rate of floor", limit: 0.5, least: true, digits: 2},
		{what: "sold-out storm, of the floor's requests", scenario: "storms", value: "sold out/Scrip/rate of floor", limit: 0.8, least: true, digits: 2},
		{what: "doubles storm, of the floor's requests", scenario: "storms", value: "doubles/Scrip/rate of floor", limit: 0.8, least: true, digits: 2},
		{what: "p99 at half of the top rate, in the floor's p99 there", scenario: "latency", value: "half", limit: 4, digits: 1},
		{what: "orders a second on one hot budget, of those in the common way", scenario: "orders", value: "Scrip/rate of common", limit: 8, least: true, unit: " ×", digits: 1},
		{what: "a claim with 10 million coupons in the table, of one with 100,000", scenario: "growth", value: "coupons", limit: 1.15, digits: 2},
		{what: "a claim with 100,000 templates in the table, of one with 1,000", scenario: "growth", value: "templates", limit: 1.15, digits: 2},
		{what: "a claim into a wallet of 1,000 coupons, of one into a wallet of 10", scenario: "growth", value: "wallet", limit: 1.15, digits: 2},
		{what: "memory of an idle server", scenario: "memory", value: "idle", limit: 60, unit: " MiB", digits: 0},
		{what: "memory with 5,000 connections in a storm", scenario: "memory", value: "storm", limit: 250, unit: " MiB", digits: 0},
		{what: "memory at the end of the soak, of that in its middle", scenario: "soak", value: "growth", limit: 1.05, digits: 2},
	}
}

// met says whether the figure reaches the aim.
func (a aim) met(x float64) bool {
	if a.least {
		return x >= a.limit
	}
	return x <= a.limit
}

func (a aim) row(m Measured) []string {
	sign := "≤ "
	if a.least {
		sign = "≥ "
	}
	target := sign + strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.2f", a.limit), "0"), ".") + a.unit
	x, found := m.value(a.scenario, a.value)
	if !found {
		return []string{a.what, target, "not measured", ""}
	}
	verdict := "no"
	if a.met(x) {
		verdict = "yes"
	}
	return []string{a.what, target, fmt.Sprintf("%.*f", a.digits, x) + a.unit, verdict}
}

// aims is the list of all aims with what was measured.
func (m Measured) aims() string {
	cells := [][]string{{"", "aim", "measured", "met"}}
	for _, a := range aims() {
		cells = append(cells, a.row(m))
	}
	return grid(cells)
}
