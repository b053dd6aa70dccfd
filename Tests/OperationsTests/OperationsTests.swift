import Testing

@testable import Operations

@Suite struct HeaderDateTests {
  @Test(arguments: [
    ("Tue, 10 Mar 2026 09:15:00 +0100", Int64(1_773_130_500)), ("10 Mar 2026 08:15:00 +0000 (UTC)", 1_773_130_500),
    ("Tue, 10 Mar 2026 08:15 +0000", 1_773_130_500),
  ])
  func reads(text: String, seconds: Int64) { #expect(HeaderDate.parse(text)?.unixSeconds == seconds) }

  @Test(arguments: [
    ("Tue, 10 Mar 2026 09:15:00 +0100", "2026-03-10T09:15:00+01:00"), ("10 Mar 2026 03:45:00 -0430 (home)", "2026-03-10T03:45:00-04:30"),
    ("10 Mar 2026 08:15:00 GMT", "2026-03-10T08:15:00+00:00"),
  ])
  func keepsTheZone(text: String, written: String) { #expect(HeaderDate.parse(text)?.rfc3339 == written) }

  @Test func refusesNonsense() { #expect(HeaderDate.parse("ieri") == nil) }
}

@Suite struct LineEndTests {
  @Test func loneLineFeedsBecomeCRLFAndNothingElseChanges() {
    #expect(MessageVerifier.withNetworkLineEnds(Array("a\nb\r\nc\n\n\rd".utf8)) == Array("a\r\nb\r\nc\r\n\r\n\rd".utf8))
    #expect(MessageVerifier.withNetworkLineEnds(Array("a\r\nb".utf8)) == Array("a\r\nb".utf8))
  }
}

@Suite struct ProcessOriginTests {
  private func origin(_ process: Int32, parent: Int32, isInNamespace: Bool, hasManager: Bool = false, takesOver: Bool = false) -> String? {
    ProcessOrigin(process: process, parent: parent, isInNamespace: isInNamespace, hasManager: hasManager, takesOver: takesOver)
      .endOfContainer
  }

  @Test func itsEndIsTheContainersWhereTheEngineWaitsForIt() {
    #expect(origin(1, parent: 0, isInNamespace: true)?.contains("process 1") == true)
    // An engine's own init is process 1.
    #expect(origin(7, parent: 1, isInNamespace: true)?.contains("process 1 of the container") == true)
    // Below systemd or a script in a container; in the background on a machine; a process that has followed another.
    #expect(origin(7, parent: 1, isInNamespace: true, hasManager: true) == nil)
    #expect(origin(9, parent: 7, isInNamespace: true) == nil)
    #expect(origin(7, parent: 1, isInNamespace: false) == nil)
    #expect(origin(9, parent: 1, isInNamespace: true, takesOver: true) == nil)
  }
}
