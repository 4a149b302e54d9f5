/** Whether Generate makes drafts in this window. Not remembered: a forgotten draft would look like a bad model. */
class Drafting {
  on = $state(false);
}

export const drafting = new Drafting();
