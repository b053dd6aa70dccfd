/// `metrics`: the HTTP service for those who watch.
extension Reader {
  /// Nil: the log says why; `.some(nil)`: the file has none.
  func metrics(_ top: Section) -> MetricsSettings?? {
    guard top.has("metrics") else { return .some(nil) }
    let usual = MetricsSettings()
    guard let section = top.optional("metrics").flatMap({ section($0, ["address", "port", "anywhere"]) }) else { return nil }
    let address = section.has("address") ? metricsAddress(section, section.optional("address")) : usual.address
    let port = section.has("port") ? section.whole(section.optional("port"), 0...65_535) : usual.port
    let anywhere = section.has("anywhere") ? section.flag(section.optional("anywhere")) : false
    guard let address, let port, let anywhere else { return nil }
    let settings = MetricsSettings(address: address, port: port, anywhere: anywhere)
    if !settings.isLoopback, !anywhere {
      section.refuse(
        "address", "is '\(address)', which other machines reach, and metrics have neither password nor TLS",
        "write 127.0.0.1 or ::1; or, where a firewall or the container's own network lets in only those who may look, add anywhere: true")
      return nil
    }
    return settings
  }

  private func metricsAddress(_ section: Section, _ setting: Setting?) -> String? {
    guard let setting, let text = section.text(setting) else { return nil }
    if IPAddress(text) != nil { return text }
    log.add(setting.place, key: setting.key, "\(setting.seen), which is not an IP address", "write 127.0.0.1 or ::1")
    return nil
  }
}
