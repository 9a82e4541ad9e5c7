import { workbenchTest } from './workbenchTest';

workbenchTest('a typing error still finds the topic, and Enter opens it', async (workbench) => {
  await workbench.runCommand('ML Field Notes: Search Topics');
  await workbench.quickPick.type('layernrom');
  await workbench.quickPick.waitForFirstRow('Layer normalization');
  await workbench.quickPick.accept();
  await workbench.article('layer-normalization');
});

workbenchTest(
  'Chinese words and pinyin find the topic',
  async (workbench) => {
    await workbench.quickPick.openByKey('Control+Alt+/');
    for (const typed of ['层归一', 'cengguiyihua']) {
      await workbench.quickPick.type(typed);
      await workbench.quickPick.waitForFirstRow('层归一化');
    }
  },
  { language: 'zh-cn' },
);
