/// Addresses that may be connected to.
public enum HostAddresses {
  /// The addresses in answers about a host, as text, without those that are not of the public Internet and not allowed either.
  public static func usable(_ answers: [DNSAnswer], allows: (String) -> Bool) -> [String] {
    answers.flatMap(\.records).compactMap { octets in
      AddressRecord.text(octets).flatMap { AddressRecord.isPublic(octets) || allows($0) ? $0 : nil }
    }
  }
}
