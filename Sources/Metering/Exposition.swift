/// Metrics as text for those who scrape.
///
/// - SeeAlso: Prometheus text exposition format 0.0.4; OpenMetrics 1.0.
public enum Exposition: Sendable {
  /// Prometheus 0.0.4.
  case prometheus
  /// OpenMetrics 1.0.0.
  case openMetrics

  /// The form that a scraper would rather have, by its Accept field (RFC 9110 §12.5.1); Prometheus 0.0.4 for who does not say.
  public init(accept: String?) {
    var open = 0.0
    var plain = 0.0
    for item in (accept ?? "").prefix(1024).split(separator: ",") {
      let parts = item.split(separator: ";").map { Exposition.trimmed($0).lowercased() }
      guard let type = parts.first else { continue }
      var weight = 1.0
      var version: String?
      for parameter in parts.dropFirst() {
        if parameter.hasPrefix("q=") { weight = Double(parameter.dropFirst(2)) ?? 0 }
        if parameter.hasPrefix("version=") { version = String(parameter.dropFirst(8)) }
      }
      switch type {
      case "application/openmetrics-text" where version == nil || version == "1.0.0" || version == "0.0.1": open = max(open, weight)
      case "text/plain", "text/*", "*/*": plain = max(plain, weight)
      default: break
      }
    }
    self = open > 0 && open >= plain ? .openMetrics : .prometheus
  }

  /// What Content-Type says.
  public var contentType: String {
    switch self {
    case .prometheus: "text/plain; version=0.0.4; charset=utf-8"
    case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
    }
  }

  /// The families in this form. One without samples is left out.
  public func text(_ families: [MetricFamily]) -> String {
    var text = ""
    text.reserveCapacity(32 * 1024)
    for family in families where !family.samples.isEmpty { write(family, to: &text) }
    if self == .openMetrics { text += "# EOF\n" }
    return text
  }

  private func write(_ family: MetricFamily, to text: inout String) {
    let sample =
      switch family.kind {
      case .counter: family.name + "_total"
      case .info: family.name + "_info"
      case .gauge, .histogram: family.name
      }
    // OpenMetrics names the family, 0.0.4 the sample; and 0.0.4 has no kind for what is told by labels alone.
    let named = self == .openMetrics ? family.name : sample
    let kind = self == .prometheus && family.kind == .info ? "gauge" : family.kind.rawValue
    text += "# HELP \(named) \(Exposition.escaped(family.help, quotes: self == .openMetrics))\n# TYPE \(named) \(kind)\n"
    for one in family.samples {
      switch one.value {
      case .number(let number): text += "\(sample)\(Exposition.braces(one.labels)) \(Exposition.number(number))\n"
      case .ranges(let reading): write(reading, sample, one.labels, to: &text)
      }
    }
  }

  private func write(_ reading: HistogramReading, _ name: String, _ labels: [MetricFamily.Label], to text: inout String) {
    var below = 0
    for (at, count) in reading.counts.enumerated() {
      below += count
      // Both forms read it, and OpenMetrics wants the point.
      let bound = at < reading.bounds.count ? "\(reading.bounds[at])" : "+Inf"
      text += "\(name)_bucket\(Exposition.braces(labels + [.init("le", bound)])) \(below)\n"
    }
    text += "\(name)_sum\(Exposition.braces(labels)) \(Exposition.number(reading.sum))\n"
    text += "\(name)_count\(Exposition.braces(labels)) \(below)\n"
  }

  private static func braces(_ labels: [MetricFamily.Label]) -> String {
    if labels.isEmpty { return "" }
    return "{" + labels.map { "\($0.name)=\"\(escaped($0.value, quotes: true))\"" }.joined(separator: ",") + "}"
  }

  /// A whole number without a point; the words of both forms for what is none.
  static func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
    return value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)"
  }

  static func escaped(_ text: String, quotes: Bool) -> String {
    var out = ""
    for character in text.unicodeScalars {
      switch character {
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\"" where quotes: out += "\\\""
      // Text of others has no business with what draws the line.
      case _ where character.value < 32 || character.value == 127: out += " "
      default: out.unicodeScalars.append(character)
      }
    }
    return out
  }

  private static func trimmed(_ text: Substring) -> Substring {
    let start = text.drop { $0 == " " || $0 == "\t" }
    return start[..<(start.lastIndex { $0 != " " && $0 != "\t" }.map { start.index(after: $0) } ?? start.startIndex)]
  }
}
