/// The server's certificates, and who the process becomes.
extension Reader {
  func tls(_ top: Section) -> TLSSettings? {
    guard let section = top.optional("tls").flatMap({ section($0, ["certificate", "key", "names"]) }) else { return nil }
    let first = identity(section)
    var names: [TLSIdentitySettings] = []
    if section.has("names") {
      let items = section.items(section.optional("names"), of: "certificates with their keys") ?? []
      names = items.compactMap { item in self.section(item, ["certificate", "key"]).flatMap(identity) }
    }
    guard let first else { return nil }
    return TLSSettings(certificate: first.certificate, key: first.key, names: names)
  }

  private func identity(_ section: Section) -> TLSIdentitySettings? {
    let certificate = file(section, "certificate", example: "tls.pem")
    let key = file(section, "key", example: "tls.key")
    guard let certificate, let key else { return nil }
    return TLSIdentitySettings(certificate: certificate, key: key)
  }

  /// The system's user that a gateway started as root becomes.
  func user(_ top: Section) -> String? {
    guard let setting = top.optional("user"), let name = top.text(setting) else { return nil }
    let isName = name.utf8.count <= 32 && name.utf8.first.map { $0 != UInt8(ascii: "-") } == true
    guard isName, name.utf8.allSatisfy({ Words.isUserOctet($0) }) else {
      log.add(
        setting.place, key: setting.key, "\(setting.seen), which is not the name of a system user", "write one like ceralacca")
      return nil
    }
    return name
  }
}

extension Words {
  /// Octets of a system user's name (useradd(8)).
  static func isUserOctet(_ octet: UInt8) -> Bool {
    switch octet {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
    case UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."): true
    default: false
    }
  }
}
