import Metering
import Testing

@Suite struct ExpositionTests {
  private static func families() -> [MetricFamily] {
    var messages = MetricFamily("mail_messages", .counter, "Messages, by \"point\"\nand outcome.")
    messages.add(3, .init("point", "access"), .init("outcome", "accepted"))
    messages.add(0, .init("point", "a\"b\\c\nd\u{7}"), .init("outcome", ""))
    var build = MetricFamily("mail_build", .info, "The version.")
    build.add(1, .init("version", "1.2"))
    var times = MetricFamily("mail_seconds", .histogram, "Times.")
    times.add(HistogramReading(bounds: [0.005, 1], counts: [2, 1, 4], sum: 9.25))
    return [
      messages, build, times, MetricFamily("mail_bound", .gauge, "A bound.", .infinity), MetricFamily("mail_none", .gauge, "Nothing.", nil),
    ]
  }

  @Test func prometheus() {
    #expect(
      Exposition.prometheus.text(Self.families()) == """
        # HELP mail_messages_total Messages, by "point"\\nand outcome.
        # TYPE mail_messages_total counter
        mail_messages_total{point="access",outcome="accepted"} 3
        mail_messages_total{point="a\\"b\\\\c\\nd ",outcome=""} 0
        # HELP mail_build_info The version.
        # TYPE mail_build_info gauge
        mail_build_info{version="1.2"} 1
        # HELP mail_seconds Times.
        # TYPE mail_seconds histogram
        mail_seconds_bucket{le="0.005"} 2
        mail_seconds_bucket{le="1.0"} 3
        mail_seconds_bucket{le="+Inf"} 7
        mail_seconds_sum 9.25
        mail_seconds_count 7
        # HELP mail_bound A bound.
        # TYPE mail_bound gauge
        mail_bound +Inf

        """)
  }

  @Test func openMetrics() {
    let text = Exposition.openMetrics.text(Self.families())
    #expect(
      text.contains("# HELP mail_messages Messages, by \\\"point\\\"\\nand outcome.\n# TYPE mail_messages counter\nmail_messages_total{"))
    #expect(text.contains("# TYPE mail_build info\nmail_build_info{version=\"1.2\"} 1\n"))
    #expect(text.hasSuffix("mail_bound +Inf\n# EOF\n"))
  }

  @Test(
    arguments: [
      (nil, Exposition.prometheus), ("", .prometheus), ("*/*", .prometheus), ("text/plain", .prometheus),
      ("application/openmetrics-text", .openMetrics),
      (
        "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        .openMetrics
      ),
      ("application/openmetrics-text;q=0.2, text/plain;q=0.9", .prometheus), ("application/openmetrics-text;q=0", .prometheus),
      ("application/openmetrics-text;version=9.9.9", .prometheus), (";;,,=;q=x,application/openmetrics-text ; q=1", .openMetrics),
      (String(repeating: "a,", count: 100_000), .prometheus),
    ] as [(String?, Exposition)])
  func accept(_ field: String?, _ form: Exposition) { #expect(Exposition(accept: field) == form) }
}

@Suite struct CountTests {
  enum Colour: CaseIterable { case red, green }

  @Test func rangesHoldTheirUpperBound() {
    let histogram = Histogram(bounds: [10, 20], partsOfUnit: 10)
    for value in [-5, 0, 10, 11, 20, 21, 1000] { histogram.observe(value) }
    #expect(histogram.reading == HistogramReading(bounds: [1, 2], counts: [3, 2, 2], sum: 106.2))
    #expect(histogram.reading.count == 7)
  }

  @Test func quantilesAreBounds() {
    let reading = HistogramReading(bounds: [1, 2, 4], counts: [5, 4, 0, 1], sum: 20)
    #expect(reading.quantile(0.5) == 1)
    #expect(reading.quantile(0.9) == 2)
    #expect(reading.quantile(0.99) == .infinity)
    #expect(HistogramReading(bounds: [1], counts: [0, 0], sum: 0).quantile(0.5) == nil)
  }

  @Test func whatIsNotKnownMakesNoLabel() {
    let counts = Counts(["a", "b", "a"])
    counts.add("a", 2)
    #expect(!counts.add("c"))
    #expect(counts.all.map(\.key) == ["a", "b"])
    #expect(counts["a"] == 2 && counts["b"] == 0 && counts["c"] == 0)
    #expect(Counts<Colour>().all.count == 2)
  }
}
