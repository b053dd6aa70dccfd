/// Where metrics, health and readiness are told over HTTP.
public struct MetricsSettings: Sendable, Equatable {
  /// An IP address; one of the machine's own loopback unless `anywhere`.
  public var address: String
  /// 0 for any free port.
  public var port: Int
  /// Whether an address that others reach is meant: there is neither password nor TLS, and routes name whom one writes to.
  public var anywhere: Bool

  /// Port 9410 on loopback unless said otherwise.
  public init(address: String = "127.0.0.1", port: Int = 9410, anywhere: Bool = false) {
    self.address = address
    self.port = port
    self.anywhere = anywhere
  }

  /// True for addresses that only this machine reaches.
  public var isLoopback: Bool {
    guard let address = IPAddress(address) else { return false }
    return address.isIPv4 ? address.bits >> 24 == 127 : address.bits == 1
  }
}

/// Where log lines go.
public enum LogTarget: String, Sendable, CaseIterable {
  case stdout, stderr
}
