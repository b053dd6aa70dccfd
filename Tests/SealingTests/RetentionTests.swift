import Journey
import PEC
import Testing

@testable import Ledger
@testable import Sealing

@Suite struct RetentionTests {
  private func day(_ number: Int64, _ rows: ClosedRange<Int64>) -> LogDay {
    LogDay(day: LegalDay(number: number), first: rows.lowerBound, last: rows.upperBound, events: Int(rows.count))
  }

  private func hold(_ days: ClosedRange<Int64>) -> LogHold {
    LogHold(
      id: "h", from: LegalDay(number: days.lowerBound), to: LegalDay(number: days.upperBound), reason: "", madeAt: 0)
  }

  private func rows(_ days: [LogDay], holds: [LogHold] = [], sealed: Int64 = 1000) -> [Int64] {
    Retention.purgeable(days, holds: holds, before: LegalDay(number: 10), sealed: sealed).map(\.last)
  }

  @Test func wholeDaysOldestFirst() {
    let days = [day(5, 1...10), day(6, 11...20), day(9, 21...30), day(10, 31...40), day(11, 41...50)]
    #expect(rows(days) == [10, 20, 30])
    #expect(rows(days, sealed: 25) == [10, 20])
    #expect(rows(days, sealed: 9) == [])
    #expect(rows(days, holds: [hold(6...6)]) == [10])
    #expect(rows(days, holds: [hold(1...7)]) == [])
    #expect(rows([]) == [])
  }

  /// The rows of a transaction that began before midnight may be stored after those of the next day.
  @Test func daysThatOverlap() {
    #expect(rows([day(8, 1...12), day(9, 11...30), day(10, 29...40)]) == [12, 28])
    #expect(rows([day(8, 1...12), day(9, 11...30)], holds: [hold(9...9)]) == [10])
  }

  /// A machine that started with its clock at zero wrote a row of long ago behind many of today.
  @Test func aRowOfLongAgoTakesNoneWithIt() {
    #expect(rows([day(0, 500...500), day(11, 1...600)]) == [])
    #expect(rows([day(0, 500...500), day(8, 1...100), day(11, 101...600)]) == [100])
    #expect(rows([day(0, 50...500), day(8, 1...100), day(11, 101...600)]) == [100, 100])
  }
}
