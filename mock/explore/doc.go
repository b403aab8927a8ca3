// Package explore searches for the faults that make a consumer of a feed lose something. [Run]
// plays random schedules of faults against a scenario, and reports the first one that makes it
// fail, reduced to the faults that it needs:
//
//	func TestMyConsumerLosesNothing(t *testing.T) {
//		bubble := func(f func()) { synctest.Test(t, func(*testing.T) { f() }) }
//		explore.Run(t, explore.Options{Bubble: bubble}, func(trial *explore.Trial) {
//			for ctx := range trial.Processes() { // the schedule kills some
//				if done := myConsumer(ctx, trial.Feed, trial.Store, trial.Observed); done {
//					break
//				}
//			}
//			trial.Feed.Verify(trial, trial.Observed)
//		})
//	}
package explore
