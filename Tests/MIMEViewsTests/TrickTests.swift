import Limits
import MIMEViews
import Octets
import Testing

@Suite struct TrickTests {
  @Test func thereAreManyOfThem() {
    #expect(Tricks.all.count >= 80)
    #expect(Set(Tricks.all.map(\.name)).count == Tricks.all.count)
  }

  @Test(arguments: Tricks.all) func aViewShowsWhatIsHidden(_ trick: Trick) {
    let (plan, views) = views(of: trick.message)
    #expect(!plan.isPlain)
    #expect(!plan.isBeyondLimits)
    #expect(!sightings(in: views).isEmpty, "seen in none of \(views.map(\.name))")
  }

  @Test func yEncIsDecoded() {
    var line = Array("=ybegin line=128 size=\(eicar.count) name=conto.com\r\n".utf8)
    for byte in eicar {
      let value = byte &+ 42
      line += [0, 10, 13, 61].contains(value) ? [61, value &+ 64] : [value]
    }
    let message = Array(crlf(Tricks.header + "\nEcco.\n\n").utf8) + line + Array("\r\n=yend size=\(eicar.count)\r\n".utf8)
    let (plan, views) = views(of: message)
    #expect(!plan.isPlain)
    #expect(sightings(in: views).contains { $0.contains("yEnc") })
  }

  @Test func noViewIsHandedOutTwice() {
    for trick in Tricks.all {
      let (_, views) = views(of: trick.message)
      let all = views.map { $0.octets.array }
      #expect(Set(all).count == all.count, "\(trick.name)")
    }
  }

  @Test func falseFromTheBodyEndsTheWork() throws {
    let trick = try #require(Tricks.all.first { $0.name == "two streams" } ?? Tricks.all.last)
    var count = 0
    let plan = MIMEViews.each(of: Chunk(trick.message), limits: MessageLimits(), maximumBytes: 1 << 26) { _ in
      count += 1
      return false
    }
    #expect(count == 1)
    #expect(!plan.isPlain)
    #expect(!plan.isBeyondLimits)
  }

  @Test func moreThanIsAllowedIsAVerdictOfItsOwn() throws {
    let trick = try #require(Tricks.all.last)
    let (plan, views) = views(of: trick.message, maximumBytes: 200)
    #expect(plan.isBeyondLimits)
    #expect(views.reduce(0) { $0 + $1.octets.count } <= 200)
  }

  @Test(arguments: [60, 400]) func tooDeepIsAVerdictOfItsOwn(_ levels: Int) {
    var message = Tricks.header + "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=l0x\n\n"
    for level in 0..<levels { message += "--l\(level)x\nContent-Type: multipart/mixed; boundary=l\(level + 1)x\n\n" }
    let (plan, _) = views(of: crlf(message + "--l\(levels)x\n\nciao\n"))
    #expect(!plan.isPlain)
    #expect(plan.isBeyondLimits)
  }

  @Test func tooManyPartsAreAVerdictOfTheirOwn() {
    var message = Tricks.header + "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=rosso\n\n"
    for part in 0..<6000 { message += "--rosso\n\nciao \(part)\n" }
    let (plan, _) = views(of: crlf(message + "--rosso--\n"))
    #expect(plan.isBeyondLimits)
  }

  @Test func cmsWithinCMSEnds() {
    var content = eicar
    for _ in 0..<12 { content = signedData(content) }
    let message =
      Tricks.header + "MIME-Version: 1.0\nContent-Type: application/pkcs7-mime\nContent-Transfer-Encoding: base64\n\n" + base64(content)
    let (plan, views) = views(of: crlf(message))
    #expect(plan.isBeyondLimits || !sightings(in: views).isEmpty)
  }
}
