/// A metric with all that is measured under its name: what Prometheus calls a family.
public struct MetricFamily: Sendable, Equatable {
  /// What the values are.
  public enum Kind: String, Sendable {
    /// Only grows while the process runs; its samples end in `_total`.
    case counter
    case gauge
    case histogram
    /// Labels alone are of interest; the value is 1, and the sample ends in `_info`.
    case info
  }

  /// A label's name and value.
  public struct Label: Sendable, Equatable {
    public var name: String
    public var value: String

    /// A label.
    public init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  /// What was measured.
  public enum Value: Sendable, Equatable {
    case number(Double)
    case ranges(HistogramReading)
  }

  /// One time series.
  public struct Sample: Sendable, Equatable {
    public var labels: [Label]
    public var value: Value
  }

  /// Without `_total` and `_info`, the unit last: `ceralacca_message_bytes`.
  public var name: String
  public var kind: Kind
  /// A sentence for people.
  public var help: String
  public private(set) var samples: [Sample] = []

  /// A family without samples.
  public init(_ name: String, _ kind: Kind, _ help: String) {
    self.name = name
    self.kind = kind
    self.help = help
  }

  /// A family of one sample without labels; nil gives one without samples.
  public init(_ name: String, _ kind: Kind, _ help: String, _ value: Double?) {
    self.init(name, kind, help)
    if let value { add(value) }
  }

  /// Adds a sample.
  public mutating func add(_ value: Double, _ labels: Label...) { samples.append(Sample(labels: labels, value: .number(value))) }

  /// Adds a sample.
  public mutating func add(_ value: Int, _ labels: Label...) { samples.append(Sample(labels: labels, value: .number(Double(value)))) }

  /// Adds a sample.
  public mutating func add(_ reading: HistogramReading, _ labels: Label...) {
    samples.append(Sample(labels: labels, value: .ranges(reading)))
  }
}
